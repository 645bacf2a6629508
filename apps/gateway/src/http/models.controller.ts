import type { ModelBody, ModelListBody } from '@millrace/contracts';
import { Controller, Get, Inject, Param } from '@nestjs/common';
import { ManageModels } from '../walks/manage-models.js';

@Controller('v1/models')
export class ModelsController {
  constructor(@Inject(ManageModels) private readonly manageModels: ManageModels) {}

  @Get()
  list(): ModelListBody {
    return this.manageModels.list();
  }

  // A wildcard, since ids may hold slashes: `/v1/models/org/name`, or the same with %2F.
  @Get('*')
  retrieve(@Param('*') id: string): ModelBody {
    return this.manageModels.retrieve(id);
  }
}
