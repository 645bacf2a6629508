type Value = string | number | boolean;

/** What a search asks of the attributes of files, checked. */
export type FileFilter =
  | { readonly type: 'and' | 'or'; readonly filters: readonly FileFilter[] }
  | { readonly type: 'eq' | 'ne'; readonly key: string; readonly value: Value }
  | { readonly type: 'gt' | 'gte' | 'lt' | 'lte'; readonly key: string; readonly value: string | number }
  | { readonly type: 'in' | 'nin'; readonly key: string; readonly value: readonly Value[] };

const SIGNS = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const;

/**
 * A condition on the column `attributes`, true or false and never null. Everything that came from a caller goes into `values`.
 *
 * What has no such attribute is equal to nothing and so passes `ne` and `nin`. Only what is of one type is more or less than another:
 * numbers as numbers, texts by their code points.
 */
export function conditionOf(filter: FileFilter, values: unknown[]): string {
  const place = (value: unknown) => `$${values.push(value)}`;
  switch (filter.type) {
    case 'and':
    case 'or': {
      const parts = filter.filters.map((one) => conditionOf(one, values));
      return parts.length === 0 ? String(filter.type === 'and') : `(${parts.join(` ${filter.type} `)})`;
    }
    case 'eq':
      return `(attributes @> ${place(JSON.stringify({ [filter.key]: filter.value }))}::jsonb)`;
    case 'ne':
      return `(not attributes @> ${place(JSON.stringify({ [filter.key]: filter.value }))}::jsonb)`;
    case 'in':
    case 'nin': {
      const it = `attributes -> ${place(filter.key)}::text`;
      const isOne = `coalesce(${it} in (select jsonb_array_elements(${place(JSON.stringify(filter.value))}::jsonb)), false)`;
      return filter.type === 'in' ? isOne : `(not ${isOne})`;
    }
    default: {
      const key = place(filter.key);
      const isNumber = typeof filter.value === 'number';
      const type = isNumber ? 'number' : 'string';
      const it = isNumber
        ? `(attributes -> ${key}::text)::double precision`
        : `(attributes ->> ${key}::text) collate "C"`;
      const value = `${place(filter.value)}::${isNumber ? 'double precision' : 'text'}`;
      // A case, since a cast may otherwise be tried on what is no number.
      return `(case when jsonb_typeof(attributes -> ${key}::text) = '${type}' then ${it} ${SIGNS[filter.type]} ${value} else false end)`;
    }
  }
}
