import * as z from 'zod';
import { model, type ParameterTable } from './fields.js';

/** OpenAI's moderations: https://platform.openai.com/docs/api-reference/moderations. */

/** Each text is a sequence of its own. */
export const MODERATED_TEXTS_MAX = 128;

const textPart = z.object({ type: z.literal('text'), text: z.string() });
/** Accepted by the schema so that the refusal can name it. */
const imagePart = z.looseObject({ type: z.literal('image_url') });

export const moderationRequestSchema = z
  .object({
    model,
    input: z.union([
      z.string(),
      z
        .array(z.union([z.string(), z.discriminatedUnion('type', [textPart, imagePart])]))
        .min(1)
        .max(MODERATED_TEXTS_MAX),
    ]),
  })
  .meta({ id: 'CreateModerationRequest' });

export const MODERATION_PARAMETERS = {
  input: {
    status: 'supported',
    note: `A text, or up to ${MODERATED_TEXTS_MAX} of them, each with a result of its own; or a list of parts of type \`text\`, which are one text, a line each. Images are a 400.`,
  },
  model: {
    status: 'supported',
    note: 'A model that judges, by its name here. Left out, or one of OpenAI’s (`omni-moderation-…`, `text-moderation-…`) that nobody serves: the model of the setting `moderationModel`.',
  },
} as const satisfies ParameterTable;

/** OpenAI's, in its order. */
export const MODERATION_CATEGORIES = [
  'harassment',
  'harassment/threatening',
  'sexual',
  'hate',
  'hate/threatening',
  'illicit',
  'illicit/violent',
  'self-harm/intent',
  'self-harm/instructions',
  'self-harm',
  'sexual/minors',
  'violence',
  'violence/graphic',
] as const;
export type ModerationCategory = (typeof MODERATION_CATEGORIES)[number];

function ofEach<Value extends z.ZodType>(value: Value) {
  const shape = Object.fromEntries(MODERATION_CATEGORIES.map((category) => [category, value]));
  return z.object(shape as Record<ModerationCategory, Value>);
}

export const moderationSchema = z
  .object({
    id: z.string(),
    model: z.string(),
    results: z.array(
      z.object({
        flagged: z.boolean().describe('The verdict of the model, also where no category of OpenAI’s is meant.'),
        categories: ofEach(z.boolean()),
        category_scores: ofEach(z.number()),
        category_applied_input_types: ofEach(z.array(z.literal('text'))),
        guard_score: z
          .number()
          .describe(
            'An extension: how likely the model took the text for unsafe, whatever its verdict; 0 or 1 where it tells no probabilities.',
          ),
        guard_categories: z.array(z.string()).describe('An extension: the categories in the words of the model.'),
      }),
    ),
  })
  .meta({ id: 'CreateModerationResponse' });

export type ModerationRequestBody = z.infer<typeof moderationRequestSchema>;
export type ModerationBody = z.infer<typeof moderationSchema>;
