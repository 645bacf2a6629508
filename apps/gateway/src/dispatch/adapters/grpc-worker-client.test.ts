import { createLogger } from '@millrace/runtime';
import { FakeWorker, type Script } from '../fake-worker.testing.js';
import { type Play, workerClientContract } from '../worker-client.contract.js';
import { GrpcWorkerClient } from './grpc-worker-client.js';

const logger = createLogger({ name: 'gateway', level: 'warn', format: 'json' }, { write: () => true });
const limits = { workerConnectTimeoutMs: 5_000, workerSilenceMsMax: 10_000, creditTokens: 64, sentBytesMax: 1_000_000 };

function scriptOf(play: Play): Script {
  if (play === 'endless') return { answer: [], endless: 'word ' };
  if (play === 'silent') return { stepsBeforeFirst: 1_000_000_000 };
  if (play === 'break') return { answer: ['one ', 'two '], failure: { code: 'upstream_failed', afterTokens: 2 } };
  return { answer: play.slice('say '.length).split(/(?<= )/) };
}

workerClientContract('GrpcWorkerClient', async () => {
  let answers: Play[] = [];
  const worker = await FakeWorker.start({
    models: [{ id: 'demo', capabilities: ['chat', 'embedding'] }],
    script: ({ prompt }) => {
      const { messagesJson = '[]' } = prompt?.$case === 'chat' ? prompt.value : {};
      const play = (JSON.parse(messagesJson) as { content: Play }[])[0]!.content;
      answers = [...answers, play];
      return scriptOf(play);
    },
    work: (message) => ('inputs' in message && message.inputs[0]?.input?.value === 'silent' ? { silent: true } : {}),
  });
  const client = new GrpcWorkerClient(worker.address, 'gateway@test', limits, logger);
  await new Promise<void>((resolve) => {
    client.watch(() => {
      if (client.state().phase === 'ready') resolve();
    });
  });
  return {
    client,
    running: () => worker.running,
    sent: () => [...worker.sent.values()].at(-1) ?? 0,
    close: async () => {
      await client.close();
      worker.die();
    },
  };
});
