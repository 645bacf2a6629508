import { Body, Controller, HttpCode, Inject, Param, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ManageUploads } from '../walks/manage-uploads.js';
import { callOf } from './call-of.js';
import { FORM_PATIENCE, refuseUnlessForm } from './form-bodies.js';
import { MultipartForm } from './multipart-form.js';
import type { BodyPatience } from './slow-body.js';

@Controller('v1/uploads')
export class UploadsController {
  constructor(
    @Inject(ManageUploads) private readonly uploads: ManageUploads,
    @Inject(FORM_PATIENCE) private readonly patience: BodyPatience,
  ) {}

  @Post()
  @HttpCode(200)
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.uploads.create(body, callOf(request, reply)));
  }

  @Post(':id/parts')
  @HttpCode(200)
  async addPart(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    refuseUnlessForm(request);
    using form = new MultipartForm(request.raw, this.patience);
    reply.send(await this.uploads.addPart(id, form, callOf(request, reply)));
  }

  @Post(':id/complete')
  @HttpCode(200)
  async complete(
    @Param('id') id: string,
    @Body() body: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    reply.send(await this.uploads.complete(id, body, callOf(request, reply)));
  }

  @Post(':id/cancel')
  @HttpCode(200)
  async cancel(@Param('id') id: string, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    reply.send(await this.uploads.cancel(id, callOf(request, reply)));
  }
}
