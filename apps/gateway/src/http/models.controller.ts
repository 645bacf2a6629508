import type { AnthropicModelBody, AnthropicModelListBody, ModelBody, ModelListBody } from '@millrace/contracts';
import { Controller, Get, Inject, Param, Query, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ANYONE } from '../vocabulary.js';
import { AnthropicModels } from '../walks/anthropic-models.js';
import { ManageModels } from '../walks/manage-models.js';
import { speaksAnthropic } from './dialect.js';

@Controller('v1/models')
export class ModelsController {
  constructor(
    @Inject(ManageModels) private readonly manageModels: ManageModels,
    @Inject(AnthropicModels) private readonly anthropicModels: AnthropicModels,
  ) {}

  @Get()
  list(@Req() request: FastifyRequest, @Query() query: unknown): ModelListBody | AnthropicModelListBody {
    const { caller = ANYONE } = request;
    return speaksAnthropic(request) ? this.anthropicModels.list(query, caller) : this.manageModels.list(caller);
  }

  // A wildcard, since ids may hold slashes: `/v1/models/org/name`, or the same with %2F.
  @Get('*')
  retrieve(@Param('*') id: string, @Req() request: FastifyRequest): ModelBody | AnthropicModelBody {
    const { caller = ANYONE } = request;
    return speaksAnthropic(request)
      ? this.anthropicModels.retrieve(id, caller)
      : this.manageModels.retrieve(id, caller);
  }
}
