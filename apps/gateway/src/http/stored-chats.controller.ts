import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageStoredChats } from '../walks/manage-stored-chats.js';
import { callOf } from './call-of.js';

@Controller('v1/chat/completions')
export class StoredChatsController {
  constructor(@Inject(ManageStoredChats) private readonly stored: ManageStoredChats) {}

  @Get()
  async list(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stored.list(query, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stored.find(id, callOf(request, reply)));
  }

  @Post(':id')
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async change(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stored.change(id, body, callOf(request, reply)));
  }

  @Delete(':id')
  async remove(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.stored.remove(id, callOf(request, reply)));
  }

  @Get(':id/messages')
  async messages(
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.stored.messages(id, query, callOf(request, reply)));
  }
}
