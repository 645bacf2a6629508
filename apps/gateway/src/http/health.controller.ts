import type { HealthBody } from '@millrace/contracts';
import { Controller, Get, Inject, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
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
  ready(@Res() reply: FastifyReply): void {
    const ready = this.readiness.ready();
    reply.status(ready.status === 'ready' ? 200 : 503).send(ready);
  }

  @Get('health')
  health(): HealthBody {
    return this.readiness.health();
  }
}
