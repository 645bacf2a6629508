/** What is read of a gateway's metrics, as Prometheus names them. docs/reference/metrics.md has them all. */
export const GATEWAY = {
  requests: 'millrace_requests_total',
  tokens: 'millrace_tokens_total',
  total: 'gen_ai_server_request_duration',
  firstToken: 'gen_ai_server_time_to_first_token',
  perToken: 'gen_ai_server_time_per_output_token',
  waited: 'millrace_waiting_seconds',
  running: 'millrace_running_requests',
  waiting: 'millrace_waiting_requests',
} as const;

/** Of a worker's. */
export const WORKER = {
  running: 'millrace_worker_running_sequences',
  waiting: 'millrace_worker_waiting_sequences',
  batchSize: 'millrace_worker_batch_size',
  batchSizeMax: 'millrace_worker_batch_size_max',
  stepSeconds: 'millrace_worker_step_duration_seconds',
  tokens: 'millrace_worker_tokens_total',
} as const;
