// Attention within many short texts that lie one after another, and its gradient. torch does it slowly on a CPU, one small
// product after another or over padding. Compiled by encoder.py; threads split the texts, so no two write the same place.
//
// Tokens are [token][head][32]; a text is a run of tokens, each of which sees all of the run.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define D 32

static void columns_of(const float *x, float *columns, int from, int n, int stride, int heads, int head) {
  for (int t = 0; t < n; t++)
    for (int d = 0; d < D; d++) columns[d * stride + t] = x[((size_t)(from + t) * heads + head) * D + d];
}

// out[j] = a . column j, in blocks of 16; columns have room up to the next 16.
static void products(const float *a, const float *columns, int stride, int n, float *out) {
  for (int j = 0; j < n; j += 16) {
    float sum[16] = {0};
    for (int d = 0; d < D; d++)
      for (int i = 0; i < 16; i++) sum[i] += a[d] * columns[d * stride + j + i];
    memcpy(out + j, sum, sizeof sum);
  }
}

void attention(const float *q, const float *k, const float *v, float *out, float *weights, const long *weights_at, const int *begins, int texts, int heads) {
#pragma omp parallel for schedule(dynamic, 8)
  for (int s = 0; s < texts; s++) {
    int from = begins[s], n = begins[s + 1] - from, stride = (n + 15) / 16 * 16;
    float *columns = calloc((size_t)D * stride, 4), *w = malloc(stride * 4);
    for (int h = 0; h < heads; h++) {
      columns_of(k, columns, from, n, stride, heads, h);
      for (int i = 0; i < n; i++) {
        float scaled[D], sum = 0, top = -INFINITY, o[D] = {0};
        const float *a = q + ((size_t)(from + i) * heads + h) * D;
        for (int d = 0; d < D; d++) scaled[d] = a[d] * 0.17677669529663687f;
        products(scaled, columns, stride, n, w);
        for (int j = 0; j < n; j++) top = w[j] > top ? w[j] : top;
        for (int j = 0; j < n; j++) { w[j] = expf(w[j] - top); sum += w[j]; }
        float *kept = weights + weights_at[s] + ((size_t)h * n + i) * n;
        for (int j = 0; j < n; j++) {
          kept[j] = w[j] / sum;
          const float *row = v + ((size_t)(from + j) * heads + h) * D;
          for (int d = 0; d < D; d++) o[d] += kept[j] * row[d];
        }
        memcpy(out + ((size_t)(from + i) * heads + h) * D, o, sizeof o);
      }
    }
    free(columns); free(w);
  }
}

// dq, dk and dv begin as zeros.
void attention_gradient(const float *q, const float *k, const float *v, const float *weights, const long *weights_at, const float *dout,
                        float *dq, float *dk, float *dv, const int *begins, int texts, int heads) {
#pragma omp parallel for schedule(dynamic, 8)
  for (int s = 0; s < texts; s++) {
    int from = begins[s], n = begins[s + 1] - from, stride = (n + 15) / 16 * 16;
    float *columns = calloc((size_t)D * stride, 4), *dw = malloc(stride * 4);
    for (int h = 0; h < heads; h++) {
      columns_of(v, columns, from, n, stride, heads, h);
      for (int i = 0; i < n; i++) {
        size_t at = ((size_t)(from + i) * heads + h) * D;
        const float *w = weights + weights_at[s] + ((size_t)h * n + i) * n, *g = dout + at, *a = q + at;
        float dot = 0, sum[D] = {0};
        products(g, columns, stride, n, dw);
        for (int j = 0; j < n; j++) dot += w[j] * dw[j];
        for (int j = 0; j < n; j++) {
          size_t there = ((size_t)(from + j) * heads + h) * D;
          float ds = w[j] * (dw[j] - dot) * 0.17677669529663687f;
          for (int d = 0; d < D; d++) {
            sum[d] += ds * k[there + d];
            dk[there + d] += ds * a[d];
            dv[there + d] += w[j] * g[d];
          }
        }
        memcpy(dq + at, sum, sizeof sum);
      }
    }
    free(columns); free(dw);
  }
}
