import { CommandError } from '../../command.js';
import type { Asked } from '../models-command.js';

export async function convert(_asked: Asked): Promise<number> {
  throw new CommandError('not yet');
}
