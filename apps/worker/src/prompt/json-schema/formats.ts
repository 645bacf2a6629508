/**
 * What `format` means here: patterns for whole texts, each within what the format's standard allows. Narrower where the
 * rest is rarely meant (a leap second, a zone within an IPv6 address) or would need bounds on several lengths at once.
 */
const DAY_OF_MONTH =
  '(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))';
const LEAP_YEAR = '(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)';
const DATE = `(?:\\d{4}-${DAY_OF_MONTH}|${LEAP_YEAR}-02-29)`;
const HOUR_MINUTE = '(?:[01]\\d|2[0-3]):[0-5]\\d';
const TIME = `${HOUR_MINUTE}:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-]${HOUR_MINUTE})`;

const DURATION_TIME = 'T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)';
const DURATION_DATE = '(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)';
const DURATION = `P(?:${DURATION_DATE}(?:${DURATION_TIME})?|${DURATION_TIME}|\\d{1,9}W)`;

const ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
const DOMAIN_PART = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const EMAIL = `${ATOM}(?:\\.${ATOM})*@(?:${DOMAIN_PART}\\.)+${DOMAIN_PART}`;
/** Six parts of up to 40 characters stay within the 253 of a whole name. */
const HOST_PART = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?';
const HOSTNAME = `${HOST_PART}(?:\\.${HOST_PART}){0,5}`;

const BYTE = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = `(?:${BYTE}\\.){3}${BYTE}`;
const GROUP = '[0-9A-Fa-f]{1,4}';
/** `before` groups, `::`, and as many as leave at least one to the `::`. */
const SHORTENED = Array.from({ length: 8 }, (_, before) => {
  const left = before === 0 ? '' : `${GROUP}(?::${GROUP}){${before - 1}}`;
  return before === 7 ? `${left}::` : `${left}::(?:${GROUP}(?::${GROUP}){0,${6 - before}})?`;
});
const IPV6 = `(?:${GROUP}(?::${GROUP}){7}|${SHORTENED.join('|')})`;

const UUID = '[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}';

const PATH_CHARACTER = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";
const AFTER_PATH = `(?:${PATH_CHARACTER}|[/?])*`;
const AUTHORITY = '//[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\\d{1,5})?';
const URI =
  `[A-Za-z][A-Za-z0-9+.-]*:(?:${AUTHORITY}(?:/${PATH_CHARACTER}*)*|/?${PATH_CHARACTER}+(?:/${PATH_CHARACTER}*)*)` +
  `(?:\\?${AFTER_PATH})?(?:#${AFTER_PATH})?`;

export const FORMATS: ReadonlyMap<string, string> = new Map([
  ['date-time', `${DATE}T${TIME}`],
  ['date', DATE],
  ['time', TIME],
  ['duration', DURATION],
  ['email', EMAIL],
  ['hostname', HOSTNAME],
  ['ipv4', IPV4],
  ['ipv6', IPV6],
  ['uuid', UUID],
  ['uri', URI],
]);
