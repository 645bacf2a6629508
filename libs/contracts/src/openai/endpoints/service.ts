import { healthSchema, healthzSchema, readyzSchema, welcomeSchema } from '../service.js';
import type { Endpoint } from './endpoint.js';

export const SERVICE_ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'get',
    path: '/',
    tag: 'Service',
    summary: 'What this is, and where to go: a page for browsers, JSON for everybody else.',
    answers: { 200: { description: 'The way.', schema: welcomeSchema } },
    text: 'text/html',
  },
  {
    method: 'get',
    path: '/healthz',
    tag: 'Service',
    summary: 'Whether the process lives.',
    answers: { 200: { description: 'It lives.', schema: healthzSchema } },
  },
  {
    method: 'get',
    path: '/readyz',
    tag: 'Service',
    summary: 'Whether requests can be answered now.',
    answers: {
      200: { description: 'Ready, and for what.', schema: readyzSchema },
      503: { description: 'Not ready, and why.', schema: readyzSchema },
    },
  },
  {
    method: 'get',
    path: '/health',
    tag: 'Service',
    summary: 'Health, readiness, versions and workers in one answer.',
    answers: { 200: { description: 'The state of this gateway.', schema: healthSchema } },
  },
  {
    method: 'get',
    path: '/metrics',
    tag: 'Service',
    summary: "Metrics in Prometheus' text format.",
    answers: { 200: { description: 'The metrics.' } },
    text: 'text/plain',
  },
];
