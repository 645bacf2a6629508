import type { ModelBody, ModelListBody } from '@millrace/contracts';
import { Controller, Get, Inject, Param, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ANYONE } from '../vocabulary.js';
import { ManageModels } from '../walks/manage-models.js';

@Controller('v1/models')
export class ModelsController {
  constructor(@Inject(ManageModels) private readonly manageModels: ManageModels) {}

  @Get()
  list(@Req() { caller = ANYONE }: FastifyRequest): ModelListBody {
    return this.manageModels.list(caller);
  }

  // A wildcard, since ids may hold slashes: `/v1/models/org/name`, or the same with %2F.
  @Get('*')
  retrieve(@Param('*') id: string, @Req() { caller = ANYONE }: FastifyRequest): ModelBody {
    return this.manageModels.retrieve(id, caller);
  }
}
