import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { InferenceError } from '@millrace/contracts';
import { Controller, Get, Param, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

const require = createRequire(import.meta.url);

export const SWAGGER_UI_FOLDER = dirname(require.resolve('swagger-ui-dist/package.json'));

/** What the page needs of Swagger UI; the rest of the package is not served. */
const FILES: ReadonlySet<string> = new Set(['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png']);

/** Everything comes from this server: the page works without the internet. */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Millrace API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" href="/docs/favicon-32x32.png">
  </head>
  <body>
    <div id="ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script>SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true });</script>
  </body>
</html>
`;

/** On the reply that a file is sent in. */
const LISTENERS_MAX = 32;

/** What is served here, for people and for machines. */
@Controller()
export class DocsController {
  readonly #openApi = readOpenApi();

  @Get('openapi.json')
  openApi(@Res() reply: FastifyReply): void {
    reply.type('application/json; charset=utf-8').send(this.#openApi);
  }

  @Get('docs')
  page(@Res() reply: FastifyReply): void {
    reply.type('text/html; charset=utf-8').send(PAGE);
  }

  @Get('docs/:file')
  file(@Param('file') file: string, @Res() reply: FastifyReply): void {
    if (!FILES.has(file)) throw new InferenceError('unknown_url', 'Swagger UI has no such file here.');
    // @fastify/static waits for the end of a reply at each of its steps, with listeners of its own: Node would warn of a leak.
    reply.raw.setMaxListeners(LISTENERS_MAX);
    reply.sendFile(file);
  }
}

function readOpenApi(): string {
  return readFileSync(require.resolve('@millrace/contracts/openapi.json'), 'utf8');
}
