import { Body, Controller, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Moderate } from '../walks/moderate.js';
import { callOf } from './call-of.js';

@Controller('v1/moderations')
export class ModerationsController {
  constructor(@Inject(Moderate) private readonly moderate: Moderate) {}

  @Post()
  @HttpCode(200) // Nest answers a POST with 201; OpenAI's clients expect 200.
  async create(@Body() body: unknown, @Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const moderated = await this.moderate.run(body, callOf(request, reply));
    reply.send(moderated.body);
  }
}
