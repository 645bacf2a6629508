import { Controller, Get, Inject, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ReportUsage } from '../walks/report-usage.js';
import { callOf } from './call-of.js';

/** Behind the admin key, as everything below `/admin`. */
@Controller('admin/usage')
export class UsageController {
  constructor(@Inject(ReportUsage) private readonly usage: ReportUsage) {}

  @Get()
  async report(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.usage.run(query, callOf(request, reply)));
  }
}
