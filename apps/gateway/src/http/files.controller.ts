import { Controller, Delete, Get, HttpCode, Inject, Param, Post, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageFiles } from '../walks/manage-files.js';
import { callOf } from './call-of.js';
import { FORM_PATIENCE, refuseUnlessForm } from './form-bodies.js';
import { MultipartForm } from './multipart-form.js';
import { sendFile } from './send-file.js';
import type { BodyPatience } from './slow-body.js';

@Controller('v1/files')
export class FilesController {
  constructor(
    @Inject(ManageFiles) private readonly files: ManageFiles,
    @Inject(FORM_PATIENCE) private readonly patience: BodyPatience,
  ) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    refuseUnlessForm(request);
    using form = new MultipartForm(request.raw, this.patience);
    reply.send(await this.files.create(form, callOf(request, reply)));
  }

  @Get()
  async list(@Query() query: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.files.list(query, callOf(request, reply)));
  }

  @Get(':id')
  async find(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.files.find(id, callOf(request, reply)));
  }

  @Get(':id/content')
  async content(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    await sendFile(reply, await this.files.open(id, request.headers.range, callOf(request, reply)));
  }

  @Delete(':id')
  async remove(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.files.remove(id, callOf(request, reply)));
  }
}
