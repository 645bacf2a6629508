import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageVectorStores } from '../walks/manage-vector-stores.js';
import { SearchVectorStore } from '../walks/search-vector-store.js';
import { callOf } from './call-of.js';

@Controller('v1/vector_stores')
export class VectorStoresController {
  constructor(
    @Inject(ManageVectorStores) private readonly stores: ManageVectorStores,
    @Inject(SearchVectorStore) private readonly searching: SearchVectorStore,
  ) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stores.create(body, callOf(request, reply)));
  }

  @Get()
  async list(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stores.list(query, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stores.find(id, callOf(request, reply)));
  }

  @Post(':id')
  @HttpCode(200)
  async change(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.change(id, body, callOf(request, reply)));
  }

  @Delete(':id')
  async remove(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stores.remove(id, callOf(request, reply)));
  }

  @Post(':id/search')
  @HttpCode(200)
  async search(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.searching.run(id, body, callOf(request, reply)));
  }
}
