import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Tokenize } from '../walks/tokenize.js';
import { callOf } from './call-of.js';

@Controller()
export class TokenizeController {
  constructor(@Inject(Tokenize) private readonly tokens: Tokenize) {}

  @Post(['v1/tokenize', 'tokenize'])
  @HttpCode(200)
  async tokenize(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.tokens.tokenize(body, callOf(request, reply)));
  }

  @Post(['v1/detokenize', 'detokenize'])
  @HttpCode(200)
  async detokenize(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.tokens.detokenize(body, callOf(request, reply)));
  }

  @Post(['v1/apply-template', 'apply-template'])
  @HttpCode(200)
  async applyTemplate(
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.tokens.applyTemplate(body, callOf(request, reply)));
  }
}
