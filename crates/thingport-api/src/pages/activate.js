// Sets the first or a new password of a user with the token of the link that led here.
"use strict";
const form = document.getElementById("form");
const answer = document.getElementById("answer");
const params = new URLSearchParams(location.search);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const password = document.getElementById("password").value;
  const resetToken = params.get("resetToken");
  const activateToken = params.get("activateToken");
  const path = resetToken ? "/api/noauth/resetPassword" : "/api/noauth/activate";
  const body = resetToken ? { resetToken, password } : { activateToken, password };
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const told = await response.json();
  answer.className = response.ok ? "" : "fault";
  answer.textContent = response.ok ? "Your password is set. You can sign in now." : told.message;
  if (response.ok) form.remove();
});
