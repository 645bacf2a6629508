# pip install openai; python openai_python_tools.py
import json
import os

import openai
from openai import OpenAI
from pydantic import BaseModel

# Millrace asks for no key unless you set some up; the client insists on sending one.
client = OpenAI(base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"), api_key="none")
model = "millrace-demo"


def get_weather(city: str) -> dict:
    return {"city": city, "temperature": 21, "condition": "sunny"}


class GetWeather(BaseModel):
    """Get the current weather in a city"""

    city: str


messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
tools = [openai.pydantic_function_tool(GetWeather, name="get_weather")]

# The model asks for a call, whose arguments keep to the class; what it said goes back.
asked = client.chat.completions.parse(model=model, messages=messages, tools=tools, temperature=0)
message = asked.choices[0].message
messages.append(message.model_dump(exclude_none=True))
for call in message.tool_calls or []:
    result = get_weather(**call.function.parsed_arguments.model_dump())
    messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})

with client.chat.completions.stream(model=model, messages=messages, tools=tools, temperature=0) as stream:
    for event in stream:
        if event.type == "content.delta":
            print(event.delta, end="", flush=True)
print()  # It is 21 degrees and sunny in Oslo.

try:
    client.chat.completions.create(model="gpt-9", messages=messages)
except openai.NotFoundError as error:
    print(error.code, error.request_id)
