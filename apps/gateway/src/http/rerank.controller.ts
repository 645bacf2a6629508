import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Rerank } from '../walks/rerank.js';
import { callOf } from './call-of.js';

@Controller('v1/rerank')
export class RerankController {
  constructor(@Inject(Rerank) private readonly rerank: Rerank) {}

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.rerank.run(body, callOf(request, reply)));
  }
}
