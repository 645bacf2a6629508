import { describe, expect, it } from 'vitest';
import { answerFormOf } from './answer-form.js';
import { planned, read, splits, unfit } from './answer-forms.testing.js';
import { TABLES } from './answer-table.testing.js';

for (const [template, rows] of Object.entries(TABLES)) {
  describe(template, () => {
    it('is recognised', () => {
      expect(answerFormOf(template).name).toBe(template.split(/[ ,]/)[0]);
    });

    for (const [name, { answer, asked, ...expected }] of Object.entries(rows)) {
      it(`reads ${name}, however it is split`, () => {
        const plan = planned(template, asked);
        const whole = { text: '', reasoning: '', calls: [], citations: [], ...expected };
        expect(read(plan, [answer])).toEqual(whole);
        for (const pieces of splits(answer)) expect([pieces, read(plan, pieces)]).toEqual([pieces, whole]);
        expect(unfit(plan, answer)).toEqual([]);
      });
    }
  });
}
