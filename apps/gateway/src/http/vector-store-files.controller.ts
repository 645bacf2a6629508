import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageVectorStores } from '../walks/manage-vector-stores.js';
import { callOf } from './call-of.js';

@Controller('v1/vector_stores/:id/files')
export class VectorStoreFilesController {
  constructor(@Inject(ManageVectorStores) private readonly stores: ManageVectorStores) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async attach(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.attachFile(id, body, callOf(request, reply)));
  }

  @Get()
  async list(
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.listFiles(id, query, callOf(request, reply)));
  }

  @Get(':file')
  async find(
    @Param('id') id: string,
    @Param('file') file: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.findFile(id, file, callOf(request, reply)));
  }

  @Post(':file')
  @HttpCode(200)
  async change(
    @Param('id') id: string,
    @Param('file') file: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.changeFile(id, file, body, callOf(request, reply)));
  }

  @Delete(':file')
  async remove(
    @Param('id') id: string,
    @Param('file') file: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.removeFile(id, file, callOf(request, reply)));
  }

  @Get(':file/content')
  async content(
    @Param('id') id: string,
    @Param('file') file: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stores.readFile(id, file, callOf(request, reply)));
  }
}
