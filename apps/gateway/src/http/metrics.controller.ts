import type { Metrics } from '@millrace/runtime';
import { Controller, Get, Inject, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** Injected under this token. */
export const METRICS = Symbol('METRICS');

@Controller('metrics')
export class MetricsController {
  constructor(@Inject(METRICS) private readonly metrics: Pick<Metrics, 'answerScrape'>) {}

  @Get()
  scrape(@Req() request: FastifyRequest, @Res() reply: FastifyReply): void {
    // The exporter writes to Node's response by itself; what hooks have set must go along.
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) reply.raw.setHeader(name, String(value));
    this.metrics.answerScrape(request.raw, reply.raw);
  }
}
