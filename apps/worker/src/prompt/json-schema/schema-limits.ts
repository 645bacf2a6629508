/** What a schema may cost. docs/reference/structured-output.md lists these, and a test keeps it equal. */
export const SCHEMA_LIMITS = {
  /** Schemas within schemas. OpenAI's own limit is 10. */
  depthMax: 32,
  /** Names in `properties`, of all objects together. As OpenAI's. */
  propertiesMax: 5_000,
  /** All schemas together: properties, items, branches, definitions. */
  schemasMax: 10_000,
  /** Values in `enum`, of all schemas together. OpenAI's own limit is 1,000. */
  enumValuesMax: 5_000,
  /** Characters of all names of properties and all values in `enum` and `const` together, as JSON. As OpenAI's. */
  charactersMax: 120_000,
  /** Branches of one `anyOf` or `oneOf`. */
  branchesMax: 256,
  /** Branches of one `anyOf` or `oneOf` together with branches of another, for the same value. */
  combinationsMax: 500,
  /** Schemas that apply to a value by `$ref`, `allOf` and branches, of all values together. */
  togetherMax: 300_000,
  /** `minLength`, `maxLength`, `minItems` and `maxItems`. With `pattern` or `format`, lengths count as states. */
  lengthMax: 100_000,
  /** The remainders that `multipleOf` leaves, times its decimal places and one. */
  multipleOfMax: 2_000,
} as const;

/** Significant digits of numbers with bounds: as many as a double tells apart. */
export const NUMBER_DIGITS_MAX = 15;
/** Digits of integers without `multipleOf`: enough for 64 bits. */
export const INTEGER_DIGITS_MAX = 19;
/**
 * Characters of strings with `format` where `maxLength` allows more: programs send such bounds as 2,083 for an URL, and each
 * length costs as many states as the format has.
 */
export const FORMAT_LENGTH_MAX = 128;
