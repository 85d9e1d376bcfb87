import '../styles/base.css';
import { mount } from 'svelte';
import Teacher from '../pages/Teacher.svelte';

mount(Teacher, { target: document.getElementById('app')! });
