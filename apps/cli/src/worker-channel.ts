import { type ChannelOptions, credentials } from '@grpc/grpc-js';
import type { Settings } from '@millrace/contracts';
import { InferenceClient } from '@millrace/contracts/protocol';
import { checkTlsContents, readTlsFiles, type TlsMaterial, workerIdentity } from '@millrace/runtime';

export type WorkerTlsSettings = Pick<
  Settings,
  'workerTls.certFile' | 'workerTls.keyFile' | 'workerTls.caFile' | 'workerTls.serverName'
>;

/** What the settings name; undefined: workers are asked without TLS. @throws TlsProblem when a file can't be used. */
export async function readWorkerTls(settings: WorkerTlsSettings): Promise<TlsMaterial | undefined> {
  const { 'workerTls.certFile': certFile, 'workerTls.keyFile': keyFile, 'workerTls.caFile': caFile } = settings;
  if (certFile === undefined) return undefined;
  const files = { group: 'workerTls', certFile, keyFile, caFile };
  return checkTlsContents(files, await readTlsFiles(files));
}

/** A client of the worker at `address`, which knows it, and is known by it, as gateways are. */
export function workerClient(
  address: string,
  tls: TlsMaterial | undefined,
  serverName: string | undefined,
): InferenceClient {
  if (tls?.ca === undefined || tls.cert === undefined || tls.key === undefined) {
    return new InferenceClient(address, credentials.createInsecure());
  }
  const { verify, channel } = workerIdentity(address, serverName);
  const options: ChannelOptions = channel;
  return new InferenceClient(address, credentials.createSsl(tls.ca, tls.key, tls.cert, verify), options);
}
