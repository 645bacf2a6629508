# pip install openai; python openai_python_embeddings.py
import os

from openai import OpenAI

# Millrace asks for no key unless you set some up; the client insists on sending one.
client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), api_key="none")

wanted = "The letter was written by Anna."
sentences = ["Tom sold the old car.", "Anna wrote the letter.", "It rained in Oslo for three days."]

answer = client.embeddings.create(model="millrace-demo-embed", input=[wanted, *sentences])
query, *vectors = [item.embedding for item in answer.data]

# Vectors have length 1, so the sum of products is the cosine of the angle between them.
nearness = [sum(a * b for a, b in zip(query, vector)) for vector in vectors]
print(wanted, "→", sentences[nearness.index(max(nearness))])
