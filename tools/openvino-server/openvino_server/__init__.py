"""OpenVINO GenAI behind the OpenAI protocol."""
