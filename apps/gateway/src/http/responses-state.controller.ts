import { Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageResponses } from '../walks/manage-responses.js';
import { callOf } from './call-of.js';
import { eventsBehind } from './response-stream.js';
import { STREAM_LIMITS, type StreamLimits, sendAnswer } from './server-sent-events.js';

/** What is kept of responses. They are made by responses.controller.ts. */
@Controller('v1/responses')
export class ResponsesStateController {
  constructor(
    @Inject(ManageResponses) private readonly responses: ManageResponses,
    @Inject(STREAM_LIMITS) private readonly limits: StreamLimits,
  ) {}

  @Get(':id')
  async find(
    @Param('id') id: string,
    @Query() query: { readonly stream?: unknown; readonly starting_after?: unknown },
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const call = callOf(request, reply);
    const asked = { stream: query.stream === 'true' };
    const format = eventsBehind(query.starting_after);
    await sendAnswer(reply, call, asked, this.responses.find(id, query, call), this.limits, format);
  }

  @Delete(':id')
  async remove(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.responses.remove(id, callOf(request, reply)));
  }

  @Post(':id/cancel')
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async cancel(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.responses.cancel(id, callOf(request, reply)));
  }

  @Get(':id/input_items')
  async inputItems(
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.responses.inputItems(id, query, callOf(request, reply)));
  }
}
