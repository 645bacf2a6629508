import type { HealthBody, ReadyzBody } from '@millrace/contracts';
import { Controller, Get, Inject, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Readiness } from '../walks/readiness.js';

@Controller()
export class HealthController {
  constructor(@Inject(Readiness) private readonly readiness: Readiness) {}

  /** Is the process alive? Never depends on anything else, or an orchestrator restarts gateways for a lost worker. */
  @Get('healthz')
  alive(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('readyz')
  ready(@Req() { isInsider }: FastifyRequest, @Res() reply: FastifyReply): void {
    const ready = this.readiness.ready();
    reply.status(ready.status === 'ready' ? 200 : 503).send(isInsider ? ready : statusOf(ready));
  }

  @Get('health')
  health(): HealthBody {
    return this.readiness.health();
  }
}

/** Of the same shape, without what the gateway has. */
function statusOf({ status }: ReadyzBody): ReadyzBody {
  if (status === 'ready') return { status, capabilities: {} };
  return { status, reason: 'The admin key is told why.' };
}
