import type {
  AnthropicModelBody,
  AnthropicModelListBody,
  DeletedModelBody,
  ModelBody,
  ModelListBody,
} from '@millrace/contracts';
import { Controller, Delete, Get, Inject, Param, Query, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ANYONE } from '../vocabulary.js';
import { AnthropicModels } from '../walks/anthropic-models.js';
import { ManageModels } from '../walks/manage-models.js';
import { ManageStoredModels } from '../walks/manage-stored-models.js';
import { callOf } from './call-of.js';
import { speaksAnthropic } from './dialect.js';

@Controller('v1/models')
export class ModelsController {
  constructor(
    @Inject(ManageModels) private readonly manageModels: ManageModels,
    @Inject(AnthropicModels) private readonly anthropicModels: AnthropicModels,
    @Inject(ManageStoredModels) private readonly storedModels: ManageStoredModels,
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

  /** Nobody gets here without the admin key. */
  @Delete('*')
  async remove(
    @Param('*') id: string,
    @Query() query: unknown,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    await this.storedModels.remove(id, query, callOf(request, reply));
    const body: DeletedModelBody = { id, object: 'model', deleted: true };
    reply.send(body);
  }
}
