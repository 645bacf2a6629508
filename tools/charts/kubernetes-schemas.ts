import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** A JSON schema, as far as it is looked into here. */
interface Schema {
  [key: string]: unknown;
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const REF = '#/definitions/';
const KINDS = 'x-kubernetes-group-version-kind';
/** What these say in Swagger is less than the API server takes. */
const TAKES_MORE: Readonly<Record<string, Schema>> = {
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': { type: ['string', 'integer'] },
  'io.k8s.apimachinery.pkg.api.resource.Quantity': { type: ['string', 'number'] },
};

/** Of each kind a file that stands for itself, in which a key that the kind does not have is refused. */
export function writeKubernetesSchemas(swagger: string, folder: string): void {
  const { definitions } = JSON.parse(readFileSync(swagger, 'utf8')) as { definitions: Record<string, Schema> };
  mkdirSync(folder, { recursive: true });
  for (const [name, definition] of Object.entries(definitions)) {
    for (const kind of (definition[KINDS] as readonly GroupVersionKind[] | undefined) ?? []) {
      // Nobody renders lists, and options of a call have every group there is.
      if (/List$|Options$|Event$/.test(kind.kind)) continue;
      const used = reachable(name, definitions);
      const schema = { $ref: REF + name, definitions: used };
      writeFileSync(join(folder, fileOf(kind)), JSON.stringify(schema));
    }
  }
}

/** As above, of the definitions of custom resources in a folder. */
export function writeCrdSchemas(source: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(source).filter((name) => name.endsWith('.yaml'))) {
    for (const document of parseAllDocuments(readFileSync(join(source, file), 'utf8'))) {
      const { kind, spec } = document.toJS() as { kind: string; spec: CrdSpec };
      if (kind !== 'CustomResourceDefinition') continue;
      for (const { name: version, schema } of spec.versions) {
        const path = join(folder, fileOf({ group: spec.group, version, kind: spec.names.kind }));
        const strict = closed(schema.openAPIV3Schema);
        const { properties = {} } = strict;
        // The definition says `type: object` and leaves the rest to the API server.
        const whole = {
          ...strict,
          required: ['apiVersion', 'kind', 'metadata', ...((strict.required as string[] | undefined) ?? [])],
          properties: { ...properties, metadata: { type: 'object' } },
        };
        writeFileSync(path, JSON.stringify(whole));
      }
    }
  }
}

interface CrdSpec {
  readonly group: string;
  readonly names: { readonly kind: string };
  readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[];
}

/** As kubeconform looks for it: `deployment-apps-v1.json`, `service-v1.json`. */
function fileOf({ group, version, kind }: GroupVersionKind): string {
  return [kind, group.split('.')[0], version].filter(Boolean).join('-').toLowerCase().concat('.json');
}

function reachable(name: string, definitions: Readonly<Record<string, Schema>>): Record<string, Schema> {
  const used: Record<string, Schema> = {};
  const look = (one: string) => {
    if (one in used) return;
    used[one] = TAKES_MORE[one] ?? closed(definitions[one]!);
    for (const [, next] of JSON.stringify(used[one]).matchAll(/"#\/definitions\/([^"]+)"/g)) look(next!);
  };
  look(name);
  return used;
}

/** The same, where an object has the keys that it is said to have, and no others. */
function closed(schema: Schema): Schema {
  if (schema['x-kubernetes-int-or-string'] === true) return { type: ['string', 'integer'] };
  const entries = Object.entries(schema).map(([key, value]): [string, unknown] => {
    if (key === 'properties') {
      const properties = Object.entries(value as Record<string, Schema>);
      return [key, Object.fromEntries(properties.map(([name, one]) => [name, closed(one)]))];
    }
    if (key === 'items' || (key === 'additionalProperties' && typeof value === 'object')) {
      return [key, closed(value as Schema)];
    }
    return [key, value];
  });
  const rewritten: Schema = Object.fromEntries(entries);
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true || 'additionalProperties' in schema;
  return schema.properties === undefined || isOpen ? rewritten : { ...rewritten, additionalProperties: false };
}
