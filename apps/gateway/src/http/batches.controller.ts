import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageBatches } from '../walks/manage-batches.js';
import { callOf } from './call-of.js';

@Controller('v1/batches')
export class BatchesController {
  constructor(@Inject(ManageBatches) private readonly batches: ManageBatches) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.batches.create(body, callOf(request, reply)));
  }

  @Get()
  async list(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.batches.list(query, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.batches.find(id, callOf(request, reply)));
  }

  @Post(':id/cancel')
  @HttpCode(200)
  async cancel(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.batches.cancel(id, callOf(request, reply)));
  }
}
