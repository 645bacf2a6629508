import { VERSION, type WelcomeBody } from '@millrace/contracts';
import { Controller, Get, Req, Res } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** For programs, and for people with curl. It tells strangers nothing of what is served: not which models there are. */
const WELCOME: WelcomeBody = {
  name: 'millrace',
  version: VERSION,
  description: 'Large language models behind the OpenAI API, and Anthropic’s.',
  api: '/v1',
  docs: '/docs',
  openapi: '/openapi.json',
  health: '/health',
};

/** The same for a browser. Nothing of the request stands in it, and nothing is loaded from elsewhere. */
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Millrace</title>
    <link rel="icon" href="/docs/favicon-32x32.png">
    <style>
      body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #1c2733; }
      code { background: #eef1f4; padding: 0.1rem 0.3rem; border-radius: 0.2rem; }
      dt { margin-top: 0.8rem; }
      @media (prefers-color-scheme: dark) {
        body { background: #14191f; color: #dde3ea; }
        code { background: #242c35; }
        a { color: #7db7ff; }
      }
    </style>
  </head>
  <body>
    <h1>Millrace</h1>
    <p>This is a gateway to large language models, version ${VERSION}. It speaks the OpenAI API, and Anthropic’s messages.</p>
    <dl>
      <dt>A client of OpenAI’s</dt>
      <dd>Its base URL is this address and <code>/v1</code>.</dd>
      <dt>A client of Anthropic’s</dt>
      <dd>Its base URL is this address.</dd>
      <dt>Everything that is served</dt>
      <dd><a href="/docs">/docs</a>, and for programs <a href="/openapi.json">/openapi.json</a>.</dd>
      <dt>Whether it is well</dt>
      <dd><a href="/readyz">/readyz</a></dd>
    </dl>
  </body>
</html>
`;

/** GET /: what this is, and where to go. */
@Controller()
export class WelcomeController {
  @Get()
  welcome(@Req() { headers }: FastifyRequest, @Res() reply: FastifyReply): void {
    reply.header('vary', 'accept');
    // Browsers name it, before everything else that they take; programs take anything.
    if (headers.accept?.includes('text/html')) reply.type('text/html; charset=utf-8').send(PAGE);
    else reply.send(WELCOME);
  }
}
