"""Tests of OpenAI's formats and of AgentOS's routes."""
