import { createServer } from 'node:net';

export type PortState = 'free' | 'in use' | 'no such address' | 'forbidden';

/** Whether one could listen there now. It says nothing about a moment later. */
export function probePort(host: string, port: number): Promise<PortState> {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const state = STATES[error.code ?? ''];
      if (state === undefined) reject(error);
      else resolve(state);
    });
    server.listen({ host: bare, port, exclusive: true }, () => server.close(() => resolve('free')));
  });
}

const STATES: Readonly<Record<string, PortState>> = {
  EADDRINUSE: 'in use',
  EACCES: 'forbidden',
  EADDRNOTAVAIL: 'no such address',
  ENOTFOUND: 'no such address',
  EAI_AGAIN: 'no such address',
  EINVAL: 'no such address',
};

/** Why the gateway could not listen there, and what to do; undefined when it could. */
export function portProblem(host: string, port: number, state: PortState): string | undefined {
  switch (state) {
    case 'free':
      return undefined;
    case 'in use':
      return `Port ${port} of ${host} is in use by another program. Stop that one, or choose another port: --port ${otherPort(port)}.`;
    case 'forbidden':
      return `Port ${port} needs privileges that this user does not have. Choose one above 1023: --port 8000.`;
    case 'no such address':
      return noSuchAddress(host, '--host');
  }
}

export function noSuchAddress(host: string, flag: string): string {
  return `${host} is no address of this machine. Choose one that is, such as ${flag} 127.0.0.1.`;
}

function otherPort(port: number): number {
  return port < 65_535 ? port + 1 : port - 1;
}
