import type { PlainModelListBody } from '@millrace/contracts';
import { Body, Controller, Get, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ANYONE } from '../vocabulary.js';
import { ListModels } from '../walks/list-models.js';
import { PlainChat } from '../walks/plain-chat.js';
import { callOf } from './call-of.js';
import { STREAM_LIMITS, type StreamLimits, sendAnswer } from './server-sent-events.js';

@Controller()
export class PlainController {
  constructor(
    @Inject(PlainChat) private readonly plainChat: PlainChat,
    @Inject(ListModels) private readonly listModels: ListModels,
    @Inject(STREAM_LIMITS) private readonly limits: StreamLimits,
  ) {}

  @Post('chat')
  @HttpCode(200)
  async chat(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const call = callOf(request, reply);
    const params = (body as { params?: unknown } | null | undefined)?.params; // Where `stream` stands here.
    await sendAnswer(reply, call, params, this.plainChat.run(body, call), this.limits);
  }

  @Get('models')
  models(@Req() { caller = ANYONE }: FastifyRequest): PlainModelListBody {
    return this.listModels.run(caller);
  }
}
