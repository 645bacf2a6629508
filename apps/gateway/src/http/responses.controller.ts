import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CountInputTokens } from '../walks/count-input-tokens.js';
import { asksForBackground, QueueResponse } from '../walks/queue-response.js';
import { Respond } from '../walks/respond.js';
import { callOf } from './call-of.js';
import { RESPONSE_EVENTS } from './response-stream.js';
import { STREAM_LIMITS, type StreamLimits, sendAnswer } from './server-sent-events.js';

@Controller('v1/responses')
export class ResponsesController {
  constructor(
    @Inject(Respond) private readonly respond: Respond,
    @Inject(QueueResponse) private readonly queue: QueueResponse,
    @Inject(CountInputTokens) private readonly inputTokens: CountInputTokens,
    @Inject(STREAM_LIMITS) private readonly limits: StreamLimits,
  ) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const call = callOf(request, reply);
    const answer = asksForBackground(body) ? this.queue.run(body, call) : this.respond.run(body, call);
    await sendAnswer(reply, call, body, answer, this.limits, RESPONSE_EVENTS);
  }

  @Post('input_tokens')
  @HttpCode(200)
  async count(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.inputTokens.run(body, callOf(request, reply)));
  }
}
