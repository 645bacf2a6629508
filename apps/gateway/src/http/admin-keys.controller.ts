import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageKeys } from '../walks/manage-keys.js';
import { callOf } from './call-of.js';

/** Nobody gets here without the admin key: http/authenticate.ts sees to that for every path below `/admin`. */
@Controller('admin/keys')
export class AdminKeysController {
  constructor(@Inject(ManageKeys) private readonly keys: ManageKeys) {}

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.keys.create(body, callOf(request, reply)));
  }

  @Get()
  async list(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.keys.list(query, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.keys.find(id, callOf(request, reply)));
  }

  @Post(':id')
  @HttpCode(200)
  async change(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.keys.change(id, body, callOf(request, reply)));
  }

  @Delete(':id')
  async revoke(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.keys.revoke(id, callOf(request, reply)));
  }

  @Post(':id/rotate')
  @HttpCode(200)
  async rotate(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.keys.rotate(id, body, callOf(request, reply)));
  }
}
