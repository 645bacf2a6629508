import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageStoredModels } from '../walks/manage-stored-models.js';
import { callOf } from './call-of.js';

/** Nobody gets here without the admin key. What takes its time is answered with 202 and a job, which `/admin/model-jobs` tells of. */
@Controller('admin')
export class AdminModelsController {
  constructor(@Inject(ManageStoredModels) private readonly models: ManageStoredModels) {}

  @Post('models')
  @HttpCode(202)
  async add(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.add(body, callOf(request, reply)));
  }

  @Get('models')
  async list(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.list(callOf(request, reply)));
  }

  @Get('models/:id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.find(id, callOf(request, reply)));
  }

  @Delete('models/:id')
  async remove(
    @Param('id') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.models.remove(id, query, callOf(request, reply)));
  }

  @Post('models/:id/verify')
  @HttpCode(202)
  async verify(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.verify(id, callOf(request, reply)));
  }

  @Post('models/:id/pull')
  @HttpCode(202)
  async pull(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.models.pull(id, body, callOf(request, reply)));
  }

  @Post('models/:id/push')
  @HttpCode(202)
  async push(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.push(id, callOf(request, reply)));
  }

  @Post('models/:id/warm')
  @HttpCode(200)
  async warm(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.warm(id, callOf(request, reply)));
  }

  @Get('model-jobs')
  async listJobs(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.listJobs(callOf(request, reply)));
  }

  @Get('model-jobs/:id')
  async findJob(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.findJob(id, callOf(request, reply)));
  }

  @Delete('model-jobs/:id')
  async cancelJob(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.models.cancelJob(id, callOf(request, reply)));
  }
}
