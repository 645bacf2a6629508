import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageConversations } from '../walks/manage-conversations.js';
import { callOf } from './call-of.js';

@Controller('v1/conversations')
export class ConversationsController {
  constructor(@Inject(ManageConversations) private readonly conversations: ManageConversations) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.conversations.create(body, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.conversations.find(id, callOf(request, reply)));
  }

  @Post(':id')
  @HttpCode(200)
  async change(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.conversations.change(id, body, callOf(request, reply)));
  }

  @Delete(':id')
  async remove(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.conversations.remove(id, callOf(request, reply)));
  }

  @Post(':id/items')
  @HttpCode(200)
  async createItems(
    @Param('id') id: string,
    @Body() body: unknown,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.conversations.createItems(id, body, query, callOf(request, reply)));
  }

  @Get(':id/items')
  async listItems(
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.conversations.listItems(id, query, callOf(request, reply)));
  }

  @Get(':id/items/:item')
  async findItem(
    @Param('id') id: string,
    @Param('item') item: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.conversations.findItem(id, item, query, callOf(request, reply)));
  }

  @Delete(':id/items/:item')
  async removeItem(
    @Param('id') id: string,
    @Param('item') item: string,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.conversations.removeItem(id, item, callOf(request, reply)));
  }
}
