export type Signal = 'traces' | 'metrics';

/** A variable that can't be followed. Its signal is not sent. */
export interface Mistake {
  readonly signal: Signal;
  /** A sentence: what was wrong, and what to do. */
  readonly text: string;
}

/** What OpenTelemetry's variables ask for. */
export interface Asked {
  /** What is sent to a collector, besides what a scrape asks for. */
  readonly sent: readonly Signal[];
  readonly mistakes: readonly Mistake[];
}

const EXPORTERS: Readonly<Record<Signal, readonly string[]>> = {
  traces: ['otlp', 'console', 'none'],
  // Scrapes are answered in any case, on a port of ours.
  metrics: ['otlp', 'console', 'none', 'prometheus'],
};
/** With these nothing is sent. */
const NOT_SENT: ReadonlySet<string> = new Set(['none', 'prometheus']);
const PROTOCOLS = ['http/protobuf', 'http/json', 'grpc'];

/**
 * The specification has every SDK send to localhost unless it is told otherwise, and also where it does not understand what it is told.
 * Here nothing is sent unless somebody says where to, or by which exporter; and what is not understood is said.
 */
export function askedOf(environment: NodeJS.ProcessEnv): Asked {
  if (environment.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return { sent: [], mistakes: [] };
  const wanted = (['traces', 'metrics'] as const).filter((signal) => isWanted(signal, environment));
  const mistakes = wanted.flatMap((signal) => {
    const text = mistakeIn(signal, environment);
    return text === undefined ? [] : [{ signal, text }];
  });
  return { sent: wanted.filter((signal) => mistakes.every((mistake) => mistake.signal !== signal)), mistakes };
}

interface Variable {
  readonly name: string;
  readonly value: string;
}

/** The first of them that is set: what is said of one signal goes before what is said of all. */
function firstOf(environment: NodeJS.ProcessEnv, ...names: readonly string[]): Variable | undefined {
  const name = names.find((one) => (environment[one] ?? '').trim() !== '');
  return name === undefined ? undefined : { name, value: environment[name]!.trim() };
}

function exporterOf(signal: Signal, environment: NodeJS.ProcessEnv): Variable | undefined {
  return firstOf(environment, `OTEL_${signal.toUpperCase()}_EXPORTER`);
}

function endpointOf(signal: Signal, environment: NodeJS.ProcessEnv): Variable | undefined {
  return firstOf(environment, `OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_ENDPOINT`, 'OTEL_EXPORTER_OTLP_ENDPOINT');
}

function namesIn({ value }: Variable): readonly string[] {
  return value.split(',').map((name) => name.trim());
}

function isWanted(signal: Signal, environment: NodeJS.ProcessEnv): boolean {
  const exporter = exporterOf(signal, environment);
  if (exporter === undefined) return endpointOf(signal, environment) !== undefined;
  return namesIn(exporter).some((name) => !NOT_SENT.has(name));
}

function mistakeIn(signal: Signal, environment: NodeJS.ProcessEnv): string | undefined {
  const exporter = exporterOf(signal, environment);
  const names = exporter === undefined ? ['otlp'] : namesIn(exporter);
  if (exporter !== undefined && !names.every((name) => EXPORTERS[signal].includes(name)))
    return `${exporter.name} is "${exporter.value}"; it takes ${EXPORTERS[signal].join(', ')}.`;
  if (!names.includes('otlp')) return undefined;

  const [one, all] = [`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_PROTOCOL`, 'OTEL_EXPORTER_OTLP_PROTOCOL'];
  const protocol = firstOf(environment, one, all);
  if (protocol !== undefined && !PROTOCOLS.includes(protocol.value))
    return `${protocol.name} is "${protocol.value}"; it takes ${PROTOCOLS.join(', ')}.`;

  const endpoint = endpointOf(signal, environment);
  // gRPC takes a host and a port alone, too.
  if (endpoint === undefined || protocol?.value === 'grpc' || isHttp(endpoint.value)) return undefined;
  return `${endpoint.name} is "${endpoint.value}", which is no address of http or https: write it as http://127.0.0.1:4318.`;
}

function isHttp(address: string): boolean {
  return ['http:', 'https:'].includes(URL.parse(address)?.protocol ?? '');
}
