import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Messages } from '../walks/messages.js';
import { callOf } from './call-of.js';
import { messageStream } from './message-stream.js';
import { STREAM_LIMITS, type StreamLimits, sendAnswer } from './server-sent-events.js';

@Controller('v1/messages')
export class MessagesController {
  constructor(
    @Inject(Messages) private readonly messages: Messages,
    @Inject(STREAM_LIMITS) private readonly limits: StreamLimits,
  ) {}

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const call = callOf(request, reply);
    await sendAnswer(reply, call, body, this.messages.run(body, call), this.limits, messageStream(call.requestId));
  }

  @Post('count_tokens')
  @HttpCode(200)
  async countTokens(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.messages.countTokens(body, callOf(request, reply)));
  }
}
