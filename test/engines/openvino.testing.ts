import { spawnSync } from 'node:child_process';

const NEEDS = 'import aiohttp, openvino_genai';

/** A Python that can run tools/openvino-server: MILLRACE_PYTHON, or `python3` if it has the packages. */
export function openVinoPython(): string | undefined {
  const candidates = [process.env.MILLRACE_PYTHON ?? '', 'python3'].filter((path) => path !== '');
  return candidates.find((path) => spawnSync(path, ['-c', NEEDS], { timeout: 60_000 }).status === 0);
}
