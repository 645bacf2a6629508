import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CompleteText } from '../walks/complete-text.js';
import { callOf } from './call-of.js';
import { STREAM_LIMITS, type StreamLimits, sendAnswer } from './server-sent-events.js';

@Controller('v1')
export class CompletionsController {
  constructor(
    @Inject(CompleteText) private readonly completeText: CompleteText,
    @Inject(STREAM_LIMITS) private readonly limits: StreamLimits,
  ) {}

  @Post('completions')
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const call = callOf(request, reply);
    await sendAnswer(reply, call, body, this.completeText.run(body, call), this.limits);
  }
}
