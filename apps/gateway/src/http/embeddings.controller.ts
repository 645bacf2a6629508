import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Embed } from '../walks/embed.js';
import { callOf } from './call-of.js';

@Controller('v1')
export class EmbeddingsController {
  constructor(@Inject(Embed) private readonly embed: Embed) {}

  @Post('embeddings')
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const json = await this.embed.run(body, callOf(request, reply));
    reply.type('application/json; charset=utf-8').send(json);
  }
}
