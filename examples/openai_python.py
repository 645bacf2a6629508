# pip install openai; python openai_python.py
import os

from openai import OpenAI

# Millrace asks for no key unless you set some up; the client insists on sending one.
client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), api_key="none")

stream = client.chat.completions.create(
    model="millrace-demo",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    stream=True,
)

for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
