import { InferenceError } from '@millrace/contracts';
import { refuseUnknown } from './refuse-unknown.js';
import { show } from './show-value.js';

type Value = string | number | boolean;

/** A condition on the attributes of a file. */
export type AttributeFilter =
  | { readonly type: 'and' | 'or'; readonly filters: readonly AttributeFilter[] }
  | { readonly type: 'eq' | 'ne'; readonly key: string; readonly value: Value }
  | { readonly type: 'gt' | 'gte' | 'lt' | 'lte'; readonly key: string; readonly value: string | number }
  | { readonly type: 'in' | 'nin'; readonly key: string; readonly value: readonly Value[] };

/** Of filters in each other. */
const DEPTH_MAX = 8;
/** Of comparisons in all. */
const COMPARISONS_MAX = 100;
/** Of filters in all: what joins others compares nothing by itself, and costs as much. */
const FILTERS_MAX = 200;
const VALUES_MAX = 1_000;
const TYPES = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'and', 'or'];

/**
 * OpenAI's filters, which may stand in each other. By hand, since a schema that refers to itself tells neither where something is wrong nor
 * how deep it may go.
 *
 * @throws InferenceError a 400 that names the place.
 */
export function parseAttributeFilter(filter: unknown, param: string): AttributeFilter {
  return new FilterParser().parse(filter, param, 1);
}

class FilterParser {
  #comparisons = 0;
  #filters = 0;

  parse(filter: unknown, param: string, depth: number): AttributeFilter {
    if (++this.#filters > FILTERS_MAX)
      throw wrong(param, `is one too many: ${FILTERS_MAX} filters are taken, those within others included`);
    if (depth > DEPTH_MAX) throw wrong(param, `is ${depth} filters deep; at most ${DEPTH_MAX} may stand in each other`);
    if (!isObject(filter)) throw wrong(param, `is ${show(filter)}; it must be an object`);
    const { type, key, value } = filter;
    switch (type) {
      case 'and':
      case 'or':
        refuseUnknown(filter, ['type', 'filters'], param);
        return { type, filters: this.#all(filter.filters, `${param}.filters`, depth) };
      case 'eq':
      case 'ne':
        return { type, key: this.#key(filter, key, param), value: comparedValue(value, `${param}.value`) };
      case 'gt':
      case 'gte':
      case 'lt':
      case 'lte': {
        const bound = comparedValue(value, `${param}.value`);
        if (typeof bound === 'boolean') throw wrong(`${param}.value`, `is ${bound}; it must be a number or a string`);
        return { type, key: this.#key(filter, key, param), value: bound };
      }
      case 'in':
      case 'nin': {
        if (!Array.isArray(value)) throw wrong(`${param}.value`, `is ${show(value)}; it must be a list`);
        if (value.length > VALUES_MAX)
          throw wrong(`${param}.value`, `has ${value.length} items; it may have ${VALUES_MAX}`);
        const values = value.map((one, at) => comparedValue(one, `${param}.value[${at}]`));
        return { type, key: this.#key(filter, key, param), value: values };
      }
      default:
        throw wrong(`${param}.type`, `is ${show(type)}; it must be one of ${TYPES.join(', ')}`);
    }
  }

  #all(filters: unknown, param: string, depth: number): readonly AttributeFilter[] {
    if (!Array.isArray(filters)) throw wrong(param, `is ${show(filters)}; it must be a list`);
    return filters.map((one, at) => this.parse(one, `${param}[${at}]`, depth + 1));
  }

  #key(filter: object, key: unknown, param: string): string {
    refuseUnknown(filter, ['type', 'key', 'value'], param);
    if (++this.#comparisons > COMPARISONS_MAX)
      throw wrong(param, `is one too many: ${COMPARISONS_MAX} comparisons are taken`);
    if (typeof key === 'string' && key !== '' && key.length <= 64) return key;
    throw wrong(`${param}.key`, `is ${show(key)}; it must be the name of an attribute, of up to 64 characters`);
  }
}

function comparedValue(value: unknown, param: string): Value {
  // JSON can name numbers that are infinite here; no attribute is.
  if (typeof value === 'string' || Number.isFinite(value) || typeof value === 'boolean') return value as Value;
  throw wrong(param, `is ${show(value)}; it must be a string, a finite number or a boolean`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(param: string, what: string): InferenceError {
  return new InferenceError('invalid_request', `\`${param}\` ${what}.`, { param });
}
