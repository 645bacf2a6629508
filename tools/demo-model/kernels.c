// The three operations that torch does slowly on a CPU for this training: attention over a shared prefix, RMS norm and
// SwiGLU. Each with its gradient. Compiled by kernels.py; threads split heads or rows, so no two write the same place.
//
// Attention reads tokens as [token][head][32]. A segment is a run of queries: query i sees the keys of its prefix and
// those of its own segment up to itself. Rotary embedding (neighbouring pairs) is applied on the way in.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define D 32

typedef struct { int from, to, prefix_from, prefix_to; } Segment;

static void rotate_in(const float *x, const float *cs, float *rows, int tokens, int heads, int head, float sign, float scale) {
  for (int t = 0; t < tokens; t++) {
    const float *a = x + ((size_t)t * heads + head) * D;
    for (int p = 0; p < D / 2; p++) {
      float c = cs[t * D + 2 * p] * scale, s = sign * cs[t * D + 2 * p + 1] * scale;
      rows[t * D + 2 * p] = a[2 * p] * c - a[2 * p + 1] * s;
      rows[t * D + 2 * p + 1] = a[2 * p] * s + a[2 * p + 1] * c;
    }
  }
}

static void copy_in(const float *x, float *rows, int tokens, int heads, int head) {
  for (int t = 0; t < tokens; t++) memcpy(rows + t * D, x + ((size_t)t * heads + head) * D, D * sizeof(float));
}

static float *transposed(const float *rows, int tokens, int stride) {
  float *columns = calloc((size_t)D * stride, 4);
  for (int t = 0; t < tokens; t++)
    for (int d = 0; d < D; d++) columns[(size_t)d * stride + t] = rows[t * D + d];
  return columns;
}

// scores[j] = a . rows[from + j], with rows given by columns of `stride`. Whole blocks of 64 stay in registers; a block may
// read past `count`, which is why stride has 64 numbers to spare.
static void products(const float *a, const float *columns, int stride, int from, int count, float *scores) {
  for (int j = 0; j < count; j += 64) {
    float sum[64] = {0};
    const float *column = columns + from + j;
    for (int d = 0; d < D; d++, column += stride)
      for (int i = 0; i < 64; i++) sum[i] += a[d] * column[i];
    memcpy(scores + j, sum, (count - j < 64 ? count - j : 64) * sizeof(float));
  }
}

static void gather(const float *weights, const float *rows, int from, int count, float *out) {
  float sum[D];
  memcpy(sum, out, sizeof sum);
  for (int j = 0; j < count; j++) {
    const float *row = rows + (size_t)(from + j) * D;
    float w = weights[j];
    for (int d = 0; d < D; d++) sum[d] += w * row[d];
  }
  memcpy(out, sum, sizeof sum);
}

static void scatter(const float *weights, const float *a, float *rows, int from, int count) {
  float x[D];
  memcpy(x, a, sizeof x);
  for (int j = 0; j < count; j++) {
    float *row = rows + (size_t)(from + j) * D;
    float w = weights[j];
    for (int d = 0; d < D; d++) row[d] += w * x[d];
  }
}

void attention(const float *q, const float *k, const float *v, const float *cs, float *out, float *lse,
               int tokens, int heads, const Segment *segments, int count) {
#pragma omp parallel for schedule(dynamic, 1)
  for (int h = 0; h < heads; h++) {
    int stride = tokens + 64;
    size_t size = (size_t)tokens * D;
    float *qr = malloc(size * 4), *kr = malloc(size * 4), *vr = malloc(size * 4), *w = malloc((size_t)tokens * 4);
    rotate_in(q, cs, qr, tokens, heads, h, 1, 1 / sqrtf(D));
    rotate_in(k, cs, kr, tokens, heads, h, 1, 1);
    float *kc = transposed(kr, tokens, stride);
    copy_in(v, vr, tokens, heads, h);
    for (int s = 0; s < count; s++) {
      Segment g = segments[s];
      int past = g.prefix_to - g.prefix_from;
      for (int i = g.from; i < g.to; i++) {
        int own = i - g.from + 1, all = past + own;
        products(qr + (size_t)i * D, kc, stride, g.prefix_from, past, w);
        products(qr + (size_t)i * D, kc, stride, g.from, own, w + past);
        float top = -INFINITY, sum = 0, o[D] = {0};
        for (int j = 0; j < all; j++) top = w[j] > top ? w[j] : top;
        for (int j = 0; j < all; j++) { w[j] = expf(w[j] - top); sum += w[j]; }
        gather(w, vr, g.prefix_from, past, o);
        gather(w + past, vr, g.from, own, o);
        for (int d = 0; d < D; d++) out[((size_t)i * heads + h) * D + d] = o[d] / sum;
        lse[(size_t)h * tokens + i] = top + logf(sum);
      }
    }
    free(qr); free(kr); free(kc); free(vr); free(w);
  }
}

void attention_gradient(const float *q, const float *k, const float *v, const float *cs, const float *out, const float *lse,
                        const float *dout, float *dq, float *dk, float *dv, int tokens, int heads, const Segment *segments, int count) {
#pragma omp parallel for schedule(dynamic, 1)
  for (int h = 0; h < heads; h++) {
    int stride = tokens + 64;
    size_t size = (size_t)tokens * D;
    float *qr = malloc(size * 4), *kr = malloc(size * 4), *vr = malloc(size * 4);
    float *gq = calloc(size, 4), *gk = calloc(size, 4), *gv = calloc(size, 4), *w = malloc((size_t)tokens * 4), *dw = malloc((size_t)tokens * 4);
    float scale = 1 / sqrtf(D);
    rotate_in(q, cs, qr, tokens, heads, h, 1, scale);
    rotate_in(k, cs, kr, tokens, heads, h, 1, 1);
    float *kc = transposed(kr, tokens, stride);
    copy_in(v, vr, tokens, heads, h);
    float *vc = transposed(vr, tokens, stride);
    for (int s = 0; s < count; s++) {
      Segment g = segments[s];
      int past = g.prefix_to - g.prefix_from;
      for (int i = g.from; i < g.to; i++) {
        int own = i - g.from + 1, all = past + own;
        const float *o = out + ((size_t)i * heads + h) * D, *go = dout + ((size_t)i * heads + h) * D;
        float dot = 0, l = lse[(size_t)h * tokens + i];
        for (int d = 0; d < D; d++) dot += o[d] * go[d];
        products(qr + (size_t)i * D, kc, stride, g.prefix_from, past, w);
        products(qr + (size_t)i * D, kc, stride, g.from, own, w + past);
        products(go, vc, stride, g.prefix_from, past, dw);
        products(go, vc, stride, g.from, own, dw + past);
        for (int j = 0; j < all; j++) { w[j] = expf(w[j] - l); dw[j] = w[j] * (dw[j] - dot); }
        gather(dw, kr, g.prefix_from, past, gq + (size_t)i * D);
        gather(dw + past, kr, g.from, own, gq + (size_t)i * D);
        scatter(dw, qr + (size_t)i * D, gk, g.prefix_from, past);
        scatter(dw + past, qr + (size_t)i * D, gk, g.from, own);
        scatter(w, go, gv, g.prefix_from, past);
        scatter(w + past, go, gv, g.from, own);
      }
    }
    for (int t = 0; t < tokens; t++) {
      size_t at = ((size_t)t * heads + h) * D;
      for (int p = 0; p < D / 2; p++) {
        float c = cs[t * D + 2 * p], n = cs[t * D + 2 * p + 1], *a = gq + t * D + 2 * p, *b = gk + t * D + 2 * p;
        dq[at + 2 * p] = (a[0] * c + a[1] * n) * scale;
        dq[at + 2 * p + 1] = (a[1] * c - a[0] * n) * scale;
        dk[at + 2 * p] = b[0] * c + b[1] * n;
        dk[at + 2 * p + 1] = b[1] * c - b[0] * n;
      }
      memcpy(dv + at, gv + t * D, D * sizeof(float));
    }
    free(qr); free(kr); free(kc); free(vr); free(vc); free(gq); free(gk); free(gv); free(w); free(dw);
  }
}

void rms_norm(const float *x, const float *weight, float *out, float *inverse, int rows, int width, float eps) {
#pragma omp parallel for
  for (int r = 0; r < rows; r++) {
    const float *a = x + (size_t)r * width;
    float *o = out + (size_t)r * width, sum = 0;
    for (int i = 0; i < width; i++) sum += a[i] * a[i];
    float s = inverse[r] = 1 / sqrtf(sum / width + eps);
    for (int i = 0; i < width; i++) o[i] = a[i] * s * weight[i];
  }
}

// dweight is [2][width]: one row for each half of the rows.
void rms_norm_gradient(const float *x, const float *weight, const float *inverse, const float *dout, float *dx, float *dweight, int rows, int width) {
#pragma omp parallel for
  for (int half = 0; half < 2; half++)
    for (int r = half * (rows / 2); r < (half ? rows : rows / 2); r++) {
      const float *a = x + (size_t)r * width, *g = dout + (size_t)r * width;
      float *o = dx + (size_t)r * width, *gw = dweight + half * width, s = inverse[r], dot = 0;
      for (int i = 0; i < width; i++) { dot += g[i] * weight[i] * a[i]; gw[i] += g[i] * a[i] * s; }
      dot *= s * s * s / width;
      for (int i = 0; i < width; i++) o[i] = g[i] * weight[i] * s - a[i] * dot;
    }
}

void swiglu(const float *gate, const float *up, float *out, long count) {
#pragma omp parallel for
  for (long i = 0; i < count; i++) out[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

void swiglu_gradient(const float *gate, const float *up, const float *dout, float *dgate, float *dup, long count) {
#pragma omp parallel for
  for (long i = 0; i < count; i++) {
    float s = 1 / (1 + expf(-gate[i]));
    dup[i] = dout[i] * gate[i] * s;
    dgate[i] = dout[i] * up[i] * s * (1 + gate[i] * (1 - s));
  }
}
