import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageVectorStores } from '../walks/manage-vector-stores.js';
import { callOf } from './call-of.js';

@Controller('v1/vector_stores/:id/file_batches')
export class VectorStoreBatchesController {
  constructor(@Inject(ManageVectorStores) private readonly stores: ManageVectorStores) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async attach(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.attachBatch(id, body, callOf(request, reply)));
  }

  @Get(':batch')
  async find(
    @Param('id') id: string,
    @Param('batch') batch: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.findBatch(id, batch, callOf(request, reply)));
  }

  @Post(':batch/cancel')
  @HttpCode(200)
  async cancel(
    @Param('id') id: string,
    @Param('batch') batch: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.cancelBatch(id, batch, callOf(request, reply)));
  }

  @Get(':batch/files')
  async list(
    @Param('id') id: string,
    @Param('batch') batch: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.listBatchFiles(id, batch, query, callOf(request, reply)));
  }
}
