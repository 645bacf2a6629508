import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Tokenize } from '../walks/tokenize.js';
import { callOf } from './call-of.js';

@Controller('v1')
export class TokenizeController {
  constructor(@Inject(Tokenize) private readonly tokens: Tokenize) {}

  @Post('tokenize')
  @HttpCode(200)
  async tokenize(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.tokens.tokenize(body, callOf(request, reply)));
  }

  @Post('detokenize')
  @HttpCode(200)
  async detokenize(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.tokens.detokenize(body, callOf(request, reply)));
  }

  @Post('apply-template')
  @HttpCode(200)
  async applyTemplate(
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.tokens.applyTemplate(body, callOf(request, reply)));
  }
}
