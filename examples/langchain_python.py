# pip install langchain-openai; python langchain_python.py
import os
from typing import Literal

from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

# Millrace asks for no key unless you set some up; the client insists on sending one.
server = {"base_url": os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), "api_key": "none"}
chat = ChatOpenAI(model="millrace-demo", temperature=0, **server)


class Answer(BaseModel):
    city: Literal["Oslo", "Paris"]
    certain: bool


@tool
def get_weather(city: str) -> str:
    """Get the current weather in a city"""
    return '{"temperature": 21, "condition": "sunny"}'


for piece in chat.stream("What is the capital of France?"):
    print(piece.text, end="", flush=True)
print()

print(repr(chat.with_structured_output(Answer).invoke("What is the capital of France?")))

with_tools = chat.bind_tools([get_weather])
messages = [HumanMessage("What is the weather in Oslo?")]
messages.append(with_tools.invoke(messages))
messages += [get_weather.invoke(call) for call in messages[-1].tool_calls]
print(with_tools.invoke(messages).text)  # It is 21 degrees and sunny in Oslo.

# Token ids would be those of OpenAI's models: Millrace is sent the texts as they are.
vectors = OpenAIEmbeddings(model="millrace-demo-embed", check_embedding_ctx_length=False, **server)
wanted = vectors.embed_query("The letter was written by Anna.")
sentences = ["Tom sold the old car.", "Anna wrote the letter."]
nearness = [sum(a * b for a, b in zip(wanted, vector)) for vector in vectors.embed_documents(sentences)]
print("→", sentences[nearness.index(max(nearness))])

try:
    chat.invoke("A river crosses the land. " * 20_000)
except ContextOverflowError:
    print("too long")
