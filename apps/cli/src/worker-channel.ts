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
  const target = `dns:${address}`;
  // As gateways do: HTTP_PROXY is meant for the Internet.
  const options: ChannelOptions = { 'grpc.enable_http_proxy': 0, 'grpc.service_config_disable_resolution': 1 };
  if (tls?.ca === undefined || tls.cert === undefined || tls.key === undefined) {
    return new InferenceClient(target, credentials.createInsecure(), options);
  }
  const { verify, channel } = workerIdentity(address, serverName);
  return new InferenceClient(target, credentials.createSsl(tls.ca, tls.key, tls.cert, verify), {
    ...options,
    ...channel,
  });
}
